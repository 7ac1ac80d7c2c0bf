"""A folder of pictures → pictures with the captions that stand in files beside them."""
