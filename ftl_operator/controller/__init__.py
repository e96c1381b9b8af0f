"""The controller: watches, work queue, reconciler, status and telemetry."""
