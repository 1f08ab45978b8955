"""Names of months and weekdays in the languages that vendors write them in: English, Spanish, French, German, Italian,
Portuguese, Dutch, Polish, Swedish, Danish, Norwegian and Turkish; in full and shortened, with or without accents."""

from __future__ import annotations

import unicodedata
from functools import cache

_MONTHS = (
    "jan january enero ene janvier janv januar jaen gennaio gen janeiro januari styczen stycznia sty ocak oca",
    "feb february febrero fevrier fevr fev februar febbraio fevereiro februari luty lutego lut subat sub",
    "mar march marzo mars marz maerz mrz marco maart mrt marzec marca mart",
    "apr april abril abr avril avr aprile kwiecien kwietnia kwi nisan nis",
    "may mayo mai maggio mag maio mei maj maja mayis",
    "jun june junio juin juni giugno giu junho czerwiec czerwca cze haziran haz",
    "jul july julio juillet juil juli luglio lug julho lipiec lipca lip temmuz tem",
    "aug august agosto ago aout aou augustus augusti sierpien sierpnia sie agustos agu",
    "sep sept september septiembre septembre settembre set setembro wrzesien wrzesnia wrz eylul eyl",
    "oct october octubre octobre oktober okt ottobre ott outubro out pazdziernik pazdziernika paz ekim eki",
    "nov november noviembre novembre novembro listopad listopada lis kasim kas",
    "dec december diciembre dic decembre dezember dez dicembre dezembro grudzien grudnia gru desember des aralik ara",
)
_WEEKDAYS = (
    "mon monday lun lunes lundi mo montag lunedi seg segunda ma maandag man mandag pon poniedzialek pzt",
    "tue tues tuesday mar martes mardi di dienstag martedi ter terca dinsdag tis tisdag tirsdag wt wtorek sal",
    "wed wednesday mie miercoles mer mercredi mi mittwoch mercoledi qua quarta wo woensdag ons onsdag sr sroda car",
    "thu thur thurs thursday jue jueves jeu jeudi do donnerstag gio giovedi qui quinta donderdag tor torsdag czw per",
    "fri friday vie viernes ven vendredi fr freitag venerdi sex sexta vr vrijdag fre fredag piatek cum",
    "sat saturday sab sabado sam samedi sa samstag sonnabend sabato za zaterdag lor lordag sob sobota cmt",
    "sun sunday dom domingo dim dimanche so sonntag domenica zo zondag son sondag niedz niedziela paz",
)

_STROKES = str.maketrans("łøı", "loi")  # letters with a stroke or without a dot: these are not accents


@cache
def month(word: str) -> int | None:
    """The month of a name, 1 to 12; None for another word."""
    return _table(_MONTHS).get(_plain(word), -1) + 1 or None


@cache
def weekday(word: str) -> int | None:
    """The weekday of a name, 0 for Monday to 6; None for another word."""
    return _table(_WEEKDAYS).get(_plain(word))


@cache
def _table(names: tuple[str, ...]) -> dict[str, int]:
    return {name: at for at, words in enumerate(names) for name in words.split()}


def _plain(word: str) -> str:
    """A word in small letters, without accents and without a point at its end."""
    spread = unicodedata.normalize("NFKD", word.lower().rstrip("."))
    return "".join(c for c in spread if not unicodedata.combining(c)).translate(_STROKES)
