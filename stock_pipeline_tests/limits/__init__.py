"""How much memory the largest and the worst objects take, measured in processes of their own."""
