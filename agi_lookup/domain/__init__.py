"""Pure facts and rules of telephony: no I/O and no clock; of libraries only phonenumbers, and pydantic for what a config says."""
