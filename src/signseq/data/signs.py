"""Which recording stands for which sign of the small signed language (`signed_english.py`).

Letters of the Croatian, Czech and Estonian finger alphabets, most of them two-handed. Of 100 such
letters these 56 are left when the one nearest to another, or to a letter of the five alphabets that
spell the names, goes again and again (distance: of the hands' points against the wrist and of the
wrists over the held part, in shoulder widths). From a sign to what is nearest it is 0.31 at least and
0.42 in the median; from a letter of the American alphabet to the nearest other, 0.12 and 0.24.
"""

from __future__ import annotations

__all__ = ["SIGNS"]

SIGNS: dict[str, tuple[str, str]] = {
    "YESTERDAY": ("cse", "A"),
    "LAST-WEEK": ("csq", "A"),
    "TOMORROW": ("eso", "G"),
    "NOW": ("cse", "B"),
    "EVERY-DAY": ("csq", "B"),
    "OFTEN": ("cse", "CH"),
    "SCHOOL": ("csq", "DŽ"),
    "HOME": ("eso", "Q"),
    "GARDEN": ("cse", "E"),
    "PARK": ("csq", "E"),
    "KITCHEN": ("cse", "F"),
    "STATION": ("csq", "F"),
    "I": ("cse", "G"),
    "YOU": ("csq", "G"),
    "HE": ("eso", "T"),
    "SHE": ("cse", "J"),
    "WE": ("csq", "H"),
    "THEY": ("cse", "K"),
    "TEACHER": ("csq", "J"),
    "DOCTOR": ("eso", "U"),
    "GIRL": ("cse", "M"),
    "BOY": ("csq", "K"),
    "CHILDREN": ("cse", "N"),
    "READ": ("csq", "LJ"),
    "WRITE": ("eso", "V"),
    "BUY": ("cse", "P"),
    "EAT": ("csq", "M"),
    "SEE": ("cse", "Q"),
    "WANT": ("csq", "N"),
    "BRING": ("cse", "T"),
    "HELP": ("csq", "NJ"),
    "MEET": ("eso", "X"),
    "SLEEP": ("cse", "U"),
    "WAIT": ("csq", "P"),
    "WORK": ("cse", "V"),
    "BOOK": ("csq", "Q"),
    "LETTER": ("eso", "Ä"),
    "APPLE": ("cse", "W"),
    "EGG": ("csq", "T"),
    "CAKE": ("cse", "X"),
    "DOG": ("csq", "U"),
    "CAR": ("eso", "Õ"),
    "UMBRELLA": ("cse", "Y"),
    "PICTURE": ("csq", "W"),
    "OLD": ("cse", "Z"),
    "NEW": ("csq", "X"),
    "BIG": ("cse", "Ď"),
    "SMALL": ("csq", "Z"),
    "RED": ("eso", "Ö"),
    "EXPENSIVE": ("cse", "Ř"),
    "MANY": ("csq", "Ć"),
    "HAPPY": ("cse", "Š"),
    "TIRED": ("csq", "Đ"),
    "HUNGRY": ("eso", "Š"),
    "NOT": ("cse", "Ž"),
    "QUESTION": ("csq", "Š"),
}
