"""Files at URLs: downloaded, verified, and kept in a cache that names them by their content."""
