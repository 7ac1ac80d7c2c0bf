"""Files that say which captions each picture has: what they say, and which picture they mean."""
