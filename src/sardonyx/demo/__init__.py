"""The tour of `sardonyx demo`: a network trained on digits, taken all the way, and its report."""
