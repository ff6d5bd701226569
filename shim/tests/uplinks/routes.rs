//! Whether packets leave by the uplink that their source belongs to.
