"""PDFs written by hand: each test says what stands where, in which colour and mode."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

A4 = (595, 842)


@dataclass(frozen=True)
class Put:
    """A line of text at (x, y from the top)."""

    text: str
    x: float = 72
    y: float = 100
    size: float = 11
    font: str = "F1"
    colour: tuple[float, float, float] = (0, 0, 0)
    mode: int = 0

    def content(self) -> str:
        red, green, blue = self.colour
        text = self.text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
        place = f"1 0 0 1 {self.x} {A4[1] - self.y} Tm"
        style = f"/{self.font} {self.size} Tf {red} {green} {blue} rg {self.mode} Tr"
        return f"BT {style} {place} ({text}) Tj ET"


@dataclass(frozen=True)
class Fill:
    """A filled rectangle; (x, y) is its upper left corner."""

    x: float
    y: float
    width: float
    height: float
    colour: tuple[float, float, float] = (0, 0, 0)

    def content(self) -> str:
        red, green, blue = self.colour
        return (
            f"{red} {green} {blue} rg "
            f"{self.x} {A4[1] - self.y - self.height} {self.width} {self.height} re f"
        )


@dataclass(frozen=True)
class Picture:
    """A grey picture over the whole page."""

    width: int
    height: int
    pixels: bytes

    def content(self) -> str:
        return f"q {A4[0]} 0 0 {A4[1]} 0 0 cm /Im1 Do Q"


Item = Put | Fill | Picture


def lines(text: str, x: float = 72, y: float = 100, size: float = 11) -> list[Item]:
    """Each line of ``text`` below the other."""
    return [Put(line, x, y + n * size * 1.3, size) for n, line in enumerate(text.splitlines())]


def pdf(pages: Sequence[Sequence[Item]], base_font: str = "Helvetica", rotate: int = 0) -> bytes:
    """A PDF with a page for each list of what is painted, in that order."""
    objects: list[bytes] = [b""] * 4  # catalogue, pages, two fonts: written last
    kids = []
    for page in pages:
        stream = zlib.compress("\n".join(item.content() for item in page).encode("cp1252"))
        resources = b"/Font << /F1 3 0 R /F2 4 0 R >>"
        for item in page:
            if isinstance(item, Picture):
                objects.append(_image(item))
                resources += b" /XObject << /Im1 %d 0 R >>" % len(objects)
        objects.append(
            b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(stream), stream)
        )
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %d %d] /Rotate %d /Contents %d 0 R "
            b"/Resources << %s >> >>" % (*A4, rotate, len(objects), resources)
        )
        kids.append(len(objects))
    objects[0] = b"<< /Type /Catalog /Pages 2 0 R >>"
    objects[1] = b"<< /Type /Pages /Count %d /Kids [%s] >>" % (
        len(kids),
        b" ".join(b"%d 0 R" % kid for kid in kids),
    )
    for slot, name in ((2, base_font), (3, "Helvetica-Bold")):
        objects[slot] = (
            b"<< /Type /Font /Subtype /Type1 /BaseFont /%s /Encoding /WinAnsiEncoding >>"
            % name.encode()
        )
    return _file(objects)


def encrypted() -> bytes:
    """A PDF that asks for a password (ISO 32000-1, 7.6: RC4, 40 bits)."""
    owner = bytes(range(32))
    ours = hashlib.md5(b"a user password, padded").digest() * 2
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count 0 /Kids [] >>",
        b"<< /Filter /Standard /V 1 /R 2 /P -4 /O <%s> /U <%s> >>"
        % (owner.hex().encode(), ours.hex().encode()),
    ]
    return _file(objects, b"/Encrypt 3 0 R /ID [<%s> <%s>]" % ((owner[:16].hex().encode(),) * 2))


def _image(item: Picture) -> bytes:
    data = zlib.compress(item.pixels)
    return (
        b"<< /Type /XObject /Subtype /Image /Width %d /Height %d /ColorSpace /DeviceGray "
        b"/BitsPerComponent 8 /Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream"
        % (item.width, item.height, len(data), data)
    )


def _file(objects: Sequence[bytes], trailer: bytes = b"") -> bytes:
    out = bytearray(b"%PDF-1.7\n")
    places = []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    xref = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    for place in places:
        out += b"%010d 00000 n \n" % place
    out += b"trailer << /Size %d /Root 1 0 R %s >>\nstartxref\n%d\n%%%%EOF\n" % (
        len(objects) + 1,
        trailer,
        xref,
    )
    return bytes(out)
