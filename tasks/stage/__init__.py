"""What a stage is: the graph, the task, its work, its retries, its housekeeping."""
