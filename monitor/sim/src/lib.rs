//! A seeded world that runs the very core of the containers through disasters.
