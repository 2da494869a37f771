"""Beside stage 2: tells when the stream has changed in its inputs, in the model's outputs or in what is right. Pure."""
