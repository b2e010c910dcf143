"""What must hold of a storyboard, one file per thing that is checked. Nothing here opens a file or asks anybody."""
