"""Calls that try to forge what Asterisk tells an AGI server, by the place that they write to.

PJSIP un-escapes `%XX` in the user part of a URI, and Asterisk prints the result raw into the AGI environment. (A raw space, quote
or bracket in the user part makes PJSIP drop the packet, so those come percent-encoded.)
"""

from __future__ import annotations

from typing import Final

from tests.asterisk.invite import Invite

NUMBER: Final = "+447400123456"
FORGED_ARGUMENT: Final = "%0Aagi_arg_1%3A%20+15550000"
FORGED_END: Final = f"{FORGED_ARGUMENT}%0A%0A200%20result%3D1%20(pwn)"

DIALLED: Final = {
    "forged_argument": Invite(NUMBER + FORGED_ARGUMENT),
    "forged_end_and_reply": Invite(NUMBER + FORGED_END),
    "crlf": Invite(NUMBER + "%0D%0Aagi_enhanced%3A%201.0"),
    "carriage_return": Invite(NUMBER + "%0D"),
    "commas": Invite(NUMBER + ",emergency=0,x"),
    "encoded_commas": Invite(NUMBER + "%2Cprofile=other"),
    "parentheses": Invite(NUMBER + ")x("),
    "open_parenthesis": Invite(NUMBER + "("),
    "open_bracket": Invite(NUMBER + "%5B"),
    "quote_and_comma": Invite(NUMBER + "%22,1"),
    "backslash": Invite(NUMBER + "%5C"),
    "dollar_brace": Invite(NUMBER + "%24%7BSHELL(id)%7D"),
    "dollar_bracket": Invite(NUMBER + "%24%5B1+1%5D"),
    "dial_separator": Invite(NUMBER + "&PJSIP%2F15550000%40trunk"),
    "space": Invite(NUMBER + "%204"),
    "tab": Invite(NUMBER + "%09"),
    "escape": Invite(NUMBER + "%1B%5B31m"),
    "delete": Invite(NUMBER + "%7F"),
    "not_utf8": Invite(NUMBER + "%FF%FE"),
    "right_to_left": Invite(NUMBER + "%E2%80%AE456"),
    "arabic_digits": Invite("+44" + "%D9%A1%D9%A2%D9%A3"),
    "full_width_digits": Invite("+44" + "%EF%BC%91%EF%BC%92"),
    "extension_parameter": Invite(NUMBER + ";ext=5"),
    "phone_context": Invite(NUMBER + "%3Bphone-context%3D+1"),
    "letters": Invite("1800FLOWERS"),
    "bad_percent": Invite(NUMBER + "%zz"),
}
"""Hostile dialled numbers: the URI's user part, which becomes EXTEN and the dnid."""

CALLER: Final = {
    "from_forged_argument": Invite(NUMBER, from_user="+4420" + FORGED_ARGUMENT),
    "from_forged_end_and_reply": Invite(NUMBER, from_user="+4420" + FORGED_END),
    "from_quotes": Invite(NUMBER, from_user="+4420%22%5C,1"),
    "name_quotes": Invite(NUMBER, display=b'"Bob \\"x\\" \\\\, Ltd. (\xff)" '),
    "diversion_forged_argument": Invite(
        NUMBER, headers={"Diversion": f"<sip:+4421{FORGED_ARGUMENT}@127.0.0.1>;reason=user-busy"}
    ),
    "diversion_forged_end_and_reply": Invite(
        NUMBER, headers={"Diversion": f"<sip:+4421{FORGED_END}@127.0.0.1>;reason=user-busy"}
    ),
}
"""An ordinary number, dialled by a caller whose own details are hostile."""
