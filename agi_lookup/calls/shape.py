"""The tables of the call log. Numbers and callers stand as keyed hashes beside what is kept readable of them."""

from __future__ import annotations

from typing import Final

from agi_lookup.cache.sqlite import file

TABLES: Final = ("call", "result", "lookup")

SHAPE: Final = file.Shape(
    application_id=0x4147494E,  # "AGIN"
    version=2,  # 2: lookups
    schema={
        "call": """CREATE TABLE call (
  id INTEGER PRIMARY KEY,
  at REAL NOT NULL, -- Unix seconds
  channel TEXT NOT NULL, -- UNIQUEID
  profile TEXT NOT NULL,
  caller TEXT NOT NULL, -- in full, or nothing
  number TEXT NOT NULL, -- E.164 with its +, without its last digits, or nothing
  country TEXT,
  type TEXT NOT NULL,
  kind TEXT NOT NULL,
  valid TEXT NOT NULL,
  identity TEXT NOT NULL, -- JSON, with source and age
  liveness TEXT NOT NULL, -- JSON
  status TEXT NOT NULL,
  action TEXT NOT NULL,
  cause INTEGER, -- Q.850
  rule TEXT NOT NULL,
  shadow INTEGER NOT NULL,
  routes TEXT NOT NULL, -- JSON: trunk, rate, currency
  book TEXT NOT NULL,
  number_hash BLOB,
  caller_hash BLOB
)""",
        "call_by_channel": "CREATE INDEX call_by_channel ON call (channel)",
        "result": """CREATE TABLE result (
  id INTEGER PRIMARY KEY,
  call INTEGER, -- NULL: the log does not hold it
  at REAL NOT NULL,
  trunk TEXT NOT NULL,
  dialstatus TEXT NOT NULL,
  cause INTEGER,
  sip_code INTEGER,
  pdd_ms INTEGER,
  billsec INTEGER
)""",
        "result_by_call": "CREATE INDEX result_by_call ON result (call)",
        "lookup": """CREATE TABLE lookup (
  id INTEGER PRIMARY KEY,
  at REAL NOT NULL,
  provider TEXT NOT NULL,
  result TEXT NOT NULL, -- "answer", or the error's stable word
  ms INTEGER NOT NULL,
  in_time INTEGER NOT NULL, -- did somebody still wait?
  cost TEXT, -- as the answer states it
  currency TEXT,
  country TEXT,
  type TEXT NOT NULL,
  has_network INTEGER NOT NULL, -- does the answer name the current network?
  network TEXT NOT NULL, -- its MCC and MNC, as far as stated
  reachable TEXT NOT NULL,
  valid TEXT NOT NULL,
  number_hash BLOB NOT NULL
)""",
    },
    ends=tuple(
        f"SELECT * FROM {table} ORDER BY {column} {order} LIMIT 1"  # noqa: S608
        for table, column in (
            ("call", "id"),
            ("result", "id"),
            ("lookup", "id"),
            ("call", "channel"),
            ("result", "call"),
        )
        for order in ("ASC", "DESC")
    ),
)
