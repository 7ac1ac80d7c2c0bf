"""Image tokenizers that others trained, by the contract of `image_codes`: a file a library or a checkpoint format."""
