"""Numbers and texts, those that a file format could take for something else among them."""

from hypothesis import strategies as st

finite = st.floats(allow_nan=False, allow_infinity=False)
# What a surrogate alone stands for is not text, and cannot be written as UTF-8.
letters = st.characters(exclude_categories=["Cs"])
tricky = st.sampled_from(
    ["007", "1e5", "+1", " 1", "nan", "NA", "N/A", "None", "NULL", "<NA>", "inf", "True", "-", "\\",
     "\r", "\n", "\r\n", ",", '"', '""', "'", "\0", "\ufeff", "#", " ", "é\u2028", "=1+1", "\x1a"]
)  # fmt: skip
texts = st.text(letters, min_size=1, max_size=8) | tricky | st.tuples(tricky, tricky).map("".join)
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts | st.just("")
)
