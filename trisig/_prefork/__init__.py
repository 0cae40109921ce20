"""The zygote, which forks every child."""
