"""What a log takes and a machine carries: `make capacity` measures, test_capacity.py tries the same in small."""
