"""A fast scan of DICOM headers for the bytes of some elements; pydicom decodes what is new in them."""

import struct

from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

FIRST_BYTES = 16_384
MORE_BYTES = 2**21
_TRANSFER_SYNTAX = 0x0002_0010
_UNDEFINED = 0xFFFF_FFFF
_ITEM, _END_OF_ITEM, _END_OF_SEQUENCE = 0xFFFE_E000, 0xFFFE_E00D, 0xFFFE_E0DD
# Types with a length of four bytes, after two that are not used.
_LONG = frozenset((b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UC", b"UN", b"UR", b"UT", b"SV", b"UV"))
_tag_words = struct.Struct("<HH").unpack_from
_long = struct.Struct("<I").unpack_from
_short = struct.Struct("<H").unpack_from


class _IncompleteError(Exception):
    """The bytes end within an element."""


class _ForeignError(Exception):
    """An encoding that this scan leaves to pydicom."""


def scan_header(file, tags):
    """Return the bytes of elements of a DICOM file without decoding them.

    Parameters
    ----------
    file : binary file
        Open at its beginning.
    tags : set of int
        Elements to return.

    Returns
    -------
    dict of int to bytes, or None
        The elements that the header has. None if the file has no preamble, is big-endian or deflated, ends within its
        header, or breaks the order of elements: pydicom must read it.
    """
    data = file.read(FIRST_BYTES)
    if data[128:132] != b"DICM":
        return None
    try:
        try:
            return _scan(data, tags)
        except _IncompleteError:
            return _scan(data + file.read(MORE_BYTES), tags)
    except (_IncompleteError, _ForeignError, RecursionError):
        return None


def _scan(data, tags):
    found, last, previous = {}, max(tags), 0
    position, explicit = 132, True
    in_meta = True
    while True:
        tag, value_at, length, kind = _element(data, position, explicit)
        if in_meta and tag >> 16 != 2:
            # The file meta information is explicit, what follows may be implicit.
            in_meta = False
            explicit = _is_explicit(found.get(_TRANSFER_SYNTAX, b""))
            continue
        if tag > last:
            return found
        if tag <= previous:
            raise _ForeignError
        if length == _UNDEFINED:
            if kind == b"UN":
                raise _ForeignError
            end = _end_of_sequence(data, value_at, explicit)
        else:
            end = value_at + length
        if end > len(data):
            raise _IncompleteError
        if tag in tags or tag == _TRANSFER_SYNTAX:
            found[tag] = data[value_at:end]
        previous, position = tag, end


def _element(data, position, explicit):
    """Return tag, position of the value, length of the value and type of an element."""
    try:
        group, number = _tag_words(data, position)
        tag = group << 16 | number
        # Items have no type.
        if not explicit or group == 0xFFFE:
            return tag, position + 8, _long(data, position + 4)[0], b""
        kind = data[position + 4 : position + 6]
        if kind in _LONG:
            return tag, position + 12, _long(data, position + 8)[0], kind
        return tag, position + 8, _short(data, position + 6)[0], kind
    except struct.error as error:
        raise _IncompleteError from error


def _is_explicit(transfer_syntax):
    uid = transfer_syntax.decode("ascii", "replace").strip("\0 ")
    if uid in ("", ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian):
        raise _ForeignError
    return uid != ImplicitVRLittleEndian


def _end_of_sequence(data, position, explicit):
    """Return where a sequence of undefined length ends, its delimiter included."""
    while True:
        tag, position, length, _ = _element(data, position, explicit)
        if tag == _END_OF_SEQUENCE:
            return position
        if tag != _ITEM:
            raise _ForeignError
        position = _end_of_item(data, position, explicit) if length == _UNDEFINED else position + length
        if position > len(data):
            raise _IncompleteError


def _end_of_item(data, position, explicit):
    while True:
        tag, position, length, kind = _element(data, position, explicit)
        if tag == _END_OF_ITEM:
            return position
        if length == _UNDEFINED:
            if kind == b"UN":
                raise _ForeignError
            position = _end_of_sequence(data, position, explicit)
        else:
            position += length
        if position > len(data):
            raise _IncompleteError
