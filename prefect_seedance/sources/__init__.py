"""Reading what strangers name, bounded and safely: a folder, an https link, a picture. Nothing is written here."""
