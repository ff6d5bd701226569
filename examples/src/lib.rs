//! Small programs that embed Throughline; each is under `src/bin`.
