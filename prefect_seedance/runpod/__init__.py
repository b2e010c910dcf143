"""The HTTP API of Runpod, and the only place that POSTs. What is decided from an answer is decided elsewhere."""
