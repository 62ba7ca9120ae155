//! What theory expects of a layer before anything was trained.
