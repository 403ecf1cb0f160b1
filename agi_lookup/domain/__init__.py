"""Pure facts and rules of telephony: no I/O, no clock, no library of the outside but phonenumbers."""
