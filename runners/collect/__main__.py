"""`python -m tolerance.runners.collect`, for machines that have torch and transformers and little else."""

from tolerance.runners.collect.collect import main

if __name__ == "__main__":
    main()
