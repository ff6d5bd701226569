//! Layer 4: the edges, where applications' flows enter (ingress) and leave (egress).
