"""What the tests share: servers as processes, stores of both kinds, boards, a process to be killed."""
