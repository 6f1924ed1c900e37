"""Text encoders: token ids in, unit vectors out."""
