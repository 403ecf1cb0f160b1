"""The load generator and what it measures: our server beside a bare responder and beside pyst2, under the same calls."""
