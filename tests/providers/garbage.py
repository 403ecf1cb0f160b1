"""Bodies that no vendor should send and some will."""

from __future__ import annotations

NO_ANSWER = {
    "null": b"null",
    "empty list": b"[]",
    "empty object": b"{}",
    "string": b'"ok"',
    "number": b"1",
    "list of lists": b"[[],[[]]]",
}
"""JSON as it should be, with nothing in it."""

NO_STRICT_JSON = {
    "empty": b"",
    "blank": b" \r\n ",
    "html": b"<html><body>It works!</body></html>",
    "cut off": b'[{"msisdn": "4477',
    "two texts": b"[][]",
    "byte order mark": b"\xef\xbb\xbf[]",
    "UTF-16": "[{}]".encode("utf-16"),
    "latin-1": '[{"a": "é"}]'.encode("latin-1"),
    "overlong UTF-8": b'[{"a": "\xc0\xaf"}]',
    "duplicate keys": b'[{"a": 1, "a": 1}]',
    "NaN": b'[{"a": NaN}]',
    "infinity": b'[{"a": -Infinity}]',
    "huge exponent": b'[{"a": 1e999}]',
    "tiny exponent": b'[{"a": 1e-999}]',
    "absurd exponent": b'[{"a": 1e99999999999999999999}]',
    "300 digits": b'[{"a": ' + b"9" * 300 + b"}]",
    "5000 digits": b'[{"a": ' + b"9" * 5000 + b"}]",
    "5000 decimals": b'[{"a": 0.' + b"9" * 5000 + b"}]",
    "200,000 deep": b"[" * 200_000,
    "200,000 deep and closed": b"[" * 200_000 + b"]" * 200_000,
    "40 deep": b"[" * 40 + b"]" * 40,
    "lone surrogate": b'[{"a": "\\ud800"}]',
    "lone surrogate in a key": b'[{"\\udfff": 1}]',
    "control character": b'[{"a": "\x00"}]',
    "zero bytes": bytes(1000),
}
