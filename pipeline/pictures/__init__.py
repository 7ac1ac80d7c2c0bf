"""Pictures: decoded to upright RGB, measured in one decode, and judged by rules."""
