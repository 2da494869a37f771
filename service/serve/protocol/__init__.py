"""The Open Inference Protocol, version 2, over HTTP: JSON, and the extensions binary_tensor_data and classification."""
