"""The notification chart: delivered at once, kept until read."""

from tests.machines.walk import Walk


def told() -> Walk:
    return Walk("notification", topic="user:u1", title="Ready", body="3 passages")


def test_a_message_is_delivered_without_waiting() -> None:
    walk = told()
    assert walk.configuration == {"delivering"}
    assert walk.last.effects[walk.effect("DeliverToast")].args()["user"] == "u1"


def test_a_delivered_message_stays_until_it_is_read() -> None:
    walk = told()
    walk.send("went_out", effect=walk.effect("DeliverToast"), pages=0)
    assert not walk.last.snapshot.terminated
    walk.send("mark_read", source="client")
    assert walk.last.snapshot.terminated


def test_delivery_gives_up_after_three_attempts_and_can_be_retried() -> None:
    walk = told()
    for attempt in range(3):
        walk.send(
            "broke", effect=walk.effect("DeliverToast"), stage="delivering", reason="down", temporary=True
        )
        if attempt < 2:
            walk.send("again", source="timer", stage="delivering")
    assert walk.configuration == {"failed"}
    assert walk.send("retry", source="client").configuration == {"delivering"}
