"""Who is whose twin, and which of them stays."""
