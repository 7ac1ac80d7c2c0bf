"""Pictures → captions: what the model says of a picture."""
