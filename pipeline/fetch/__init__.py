"""Lists of addresses → tars of pictures with their ledgers: politely, from public addresses only, resumably."""
