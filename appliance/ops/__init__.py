"""Running the appliance: supervisor, doctor, demo."""
