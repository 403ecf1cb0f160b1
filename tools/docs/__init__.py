"""The generated documents. `make docs` writes them, `tests/test_docs.py` compares them with the code."""
