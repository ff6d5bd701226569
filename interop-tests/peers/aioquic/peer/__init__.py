"""A second implementation of docs/PROTOCOL.md, over aioquic. Written from that page alone."""
