"""A compact VQ of Tuwen's own: the network, its two files, and its training by `tuwen tokenizer`."""
