"""The image, built on a bare Debian and used for real: `make image`. It takes minutes, so `make test` leaves it out."""
