"""A fictional case, generated: a bridge, its inspectors, and a payment that nobody mentions.

Every name, place and number is invented. One question needs two documents joined through a
person: the report says who accepted the welds, and only a statement of account, which knows
neither welds nor inspectors nor piers, says who paid that person.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage

from handlers.parsing.mupdf import pymupdf

TITLE = "Harlow Bridge refit"
DESCRIPTION = "Were the repairs at the bridge accepted in good faith?"

POIS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Ines Vartan", ("I. Vartan",)),
    ("Tobias Renner", ("T. Renner",)),
    ("Odile Marchetti", ()),
    ("Joel Abara", ()),
)

JOINED_QUESTION = "Who paid the inspector who accepted the weld repairs at Pier 4?"
JOINING_DOCUMENT = "statement-of-account.pdf"
JOINED_ANSWER = "Calder Marine Services"

QUESTIONS = (
    JOINED_QUESTION,
    "When did Tobias Renner send the revised lifting plan, and to whom?",
    "How deep was the scour that the divers measured?",
)
UNANSWERABLE = "Which airline flew the mayor to Lisbon?"


@dataclass(frozen=True)
class Document:
    """One file of the case."""

    filename: str
    content: bytes


def documents() -> Iterator[Document]:
    """The thirteen files, in the order of their upload."""
    for filename, pages in _PDFS.items():
        yield Document(filename, _pdf(pages))
    for filename, text in _TEXTS.items():
        yield Document(filename, text.strip().encode())
    yield Document("revised-lifting-plan.eml", _lifting_plan())
    yield Document("diver-complaint.eml", _diver_complaint())
    yield Document("invoice-cover.eml", _invoice_cover())


def _pdf(pages: tuple[str, ...]) -> bytes:
    document = pymupdf.open()
    for text in pages:
        page = document.new_page(width=595, height=842)
        title, _, body = text.strip().partition("\n")
        page.insert_textbox(pymupdf.Rect(64, 56, 531, 92), title, fontsize=16, fontname="hebo")
        left = page.insert_textbox(
            pymupdf.Rect(64, 104, 531, 790), body.strip(), fontsize=11, fontname="helv"
        )
        if left < 0:
            raise ValueError(f"the page “{title}” does not fit")
    content: bytes = document.tobytes(no_new_id=True)
    document.close()
    return content


def _mail(sender: str, to: str, date: str, subject: str, body: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Date"], mail["Subject"] = sender, to, date, subject
    mail["Message-ID"] = f"<{subject.lower().replace(' ', '-')}@norrish-works.example>"
    mail.set_content(body.strip() + "\n")
    return mail


def _lifting_plan() -> bytes:
    mail = _mail(
        "Tobias Renner <t.renner@norrish-works.example>",
        "Odile Marchetti <o.marchetti@norrish-works.example>",
        "Tue, 04 Feb 2031 08:42:00 +0000",
        "Revised lifting plan",
        """
Odile,

here is the revised lifting plan for the centre span. The crane barge moves one berth upstream,
so that the navigation channel stays open during the tide window. Please confirm the closure
of the footpath with the county before Friday.

The wind limit is now eleven metres per second; the old plan had fourteen.

Tobias
""",
    )
    mail.add_attachment(
        b"Lifting plan, revision C\n\nThe barge Perdita lifts girders G7 to G12 in three tides. Each girder "
        b"weighs 41 tonnes. The exclusion zone is sixty metres. Signals are given by the banksman on the "
        b"north abutment only. No lift starts later than two hours before low water.\n",
        maintype="text",
        subtype="plain",
        filename="lifting-plan-c.txt",
    )
    return mail.as_bytes()


def _diver_complaint() -> bytes:
    return _mail(
        "Salome Okafor <s.okafor@tidewater-divers.example>",
        "Tobias Renner <t.renner@norrish-works.example>",
        "Mon, 24 Feb 2031 17:05:00 +0000",
        "Scour at the piers",
        """
Mr. Renner,

our team measured the scour hole at Pier 3 again on Saturday: 2.4 metres below the drawing, and
growing. We reported 1.9 metres in January and heard nothing. The rock bags have not come.

I ask you in writing to stop piling work next to Pier 3 until the bags are placed. If my divers
are sent down in that current again, I shall call the harbour office myself.

Salome Okafor
Tidewater Divers Ltd
""",
    ).as_bytes()


def _invoice_cover() -> bytes:
    mail = _mail(
        "Accounts <accounts@pellworth-steel.example>",
        "Odile Marchetti <o.marchetti@norrish-works.example>",
        "Thu, 20 Mar 2031 11:20:00 +0000",
        "Invoice 2031-118",
        """
Dear Ms. Marchetti,

please find attached our invoice for the replacement girders. Payment is due within thirty days
of receipt. The company that receives the goods pays the haulage, as agreed.

Pellworth Steel Ltd, Accounts
""",
    )
    invoice = _pdf(
        (
            """Invoice 2031-118
Pellworth Steel Ltd
To: County of Norrish, Works Department

Six replacement girders, grade S355, 41 tonnes each. Price per girder EUR 61,300.
Total EUR 367,800, due 19 April 2031.

Mill certificates are enclosed. Delivery was accepted at the north yard by Joel Abara
on 17 March 2031.
""",
        )
    )
    mail.add_attachment(invoice, maintype="application", subtype="pdf", filename="invoice-2031-118.pdf")
    return mail.as_bytes()


_PDFS: dict[str, tuple[str, ...]] = {
    "inspection-report-pier-4.pdf": (
        """Inspection report 31-07: Pier 4
Harlow Bridge, County of Norrish, Works Department

Subject: repairs to the bearing plate welds at Pier 4.

The welds along the bearing plate were ground out and laid anew between 3 and 7 March 2031.
Ultrasonic testing was waived on site because the probe was not available. The repairs were
examined by eye at low water.

The weld repairs at Pier 4 were accepted by Ines Vartan on 9 March 2031. No reservation was noted.
""",
        """Photographs and remarks
Photograph 1 shows the root of weld W-4-11 before grinding. Photograph 2 shows the same weld after
the repair; undercut is visible along some 40 millimetres.

Remark of the site office: the test record sheets for W-4-09 to W-4-14 are missing from the file.
Copies were asked for on 12 March 2031 and again on 2 April 2031.
""",
    ),
    "inspection-report-pier-2.pdf": (
        """Inspection report 31-04: Pier 2
Harlow Bridge, County of Norrish, Works Department

Subject: bracing at Pier 2, second visit.

All bolts of the bracing at Pier 2 were tightened anew and marked with paint. Two of sixty had been
loose and were changed for longer ones. The coating was found thin along the north face. Joel Abara
signed the sheet on 21 January 2031, subject to a second coat.
""",
    ),
    "statement-of-account.pdf": (
        """Statement of account, first quarter 2031
Holder: Calder Marine Services, Port Ellery

03 January    Fuel, Port Ellery Bunkering                          EUR  12,950.00
17 January    Harbour dues                                          EUR   3,310.00
11 February   Charter of the barge Perdita, second instalment       EUR  88,000.00
14 March      Ines Vartan, consulting, ref. WINTER GARDEN           EUR  18,400.00
21 March      Wages                                                 EUR  64,127.50
28 March      Insurance, hull and machinery                         EUR   9,875.00

The transfer of 14 March was ordered by telephone and confirmed by the holder's director.
""",
    ),
    "safety-audit.pdf": (
        """Safety audit, February 2031
Harlow Bridge site

Lifejackets were worn on all barges. The rescue boat at Pier 3 had no crew on two of five visits.
Hot work permits were complete. One visitor carried no pass on 11 February; the gate log shows no
entry for him.

Recommendations: a second rescue boat crew, a pass check at the north gate, and a list of the
people who may enter each pier.
""",
    ),
}

_TEXTS: dict[str, str] = {
    "payment-rules.md": """
# Rules on fees and gifts

The County of Norrish alone bears the fees of those who inspect its works. An offer of money or of
a gift by a contractor must be reported to the county within two days.

## Expenses

Travel is refunded at the county's rate; receipts for meals are not. A contractor may lend a boat
to reach a pier, free of charge, if the loan is noted in the report.
""",
    "contract-summary.md": """
# Contract summary

The County of Norrish engaged Calder Marine Services as main contractor for the refit of Harlow
Bridge on 2 September 2030. The contract price is EUR 4,260,000. One tenth is retained until all
repairs at the piers have been accepted.

Pellworth Steel Ltd supplies girders. Tidewater Divers Ltd surveys the river bed.

## Retention

The retention of EUR 426,000 falls due ten days after the last acceptance of repairs.
""",
    "council-minutes.md": """
# Minutes of the works committee, 18 March 2031

Present: Odile Marchetti (chair), Tobias Renner, Joel Abara, two members of the public.

1. The chair reported that the works at the piers were through and that the retention would be
   released at the end of the month.
2. A member of the public asked who looks after the works. The chair said that the county's own
   people did.
3. Mr. Abara asked for the test records of March. Mr. Renner promised them for the next meeting.
""",
    "welding-procedure.txt": """
Welding procedure WP-12

Fillet seams under water level are laid in a dry habitat. The welder grinds out the defect, heats
the plate to 80 degrees and lays the seam in at least three passes.

Every seam is tested by ultrasound no earlier than 48 hours after it was laid, and the result is
entered on form F-3. What was not tested is not taken over.
""",
    "telephone-notes.txt": """
Telephone notes, site office

10 March: The director of Calder called Mr. Renner. He was pleased that the papers for the last pier
are through and asked when the retention comes.

13 March: A caller who gave no name said that someone should look at who owns the Winter Garden
restaurant in Port Ellery. She would not explain.

2 April: Joel Abara asked once more for the record sheets. He said that he had not been told why his
own visit to the pier in March was cancelled.
""",
    "river-survey.txt": """
River bed survey, Tidewater Divers Ltd, January 2031

Scour holes were found at two piers. At Pier 3 the bed lies 1.9 metres below the drawing. At Pier 2
it lies 0.4 metres below. Visibility was poor and the current strong; soundings were taken twice.

Rock bags are recommended at Pier 3 within one month.
""",
}
