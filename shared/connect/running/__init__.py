"""What runs on this machine: builds, apps and the processes of both."""
