//! What must be true of a run, said once for every test.
