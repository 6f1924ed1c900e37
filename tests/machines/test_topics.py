"""Which case a topic belongs to: a name that nobody gives belongs to none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machines.topics import case_of, import_topic


@given(st.from_regex(r"[a-z0-9-]{1,20}", fullmatch=True), st.from_regex(r"[A-Za-z0-9]{1,64}", fullmatch=True))
def test_the_topic_of_an_import_leads_back_to_its_case(case: str, token: str) -> None:
    assert case_of(import_topic(case, token)) == case


@pytest.mark.parametrize("token", ["", "a\n", "a b", "}{0", "../x", "é", "a" * 65, "a\0"])
def test_a_made_up_token_makes_no_topic_of_a_case(token: str) -> None:
    assert case_of(f"import:c1-{token}") == ""
    with pytest.raises(ValueError, match="not a token"):
        import_topic("c1", token)
