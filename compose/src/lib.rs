//! config.ini to docker-compose.yml, as a pure function.
