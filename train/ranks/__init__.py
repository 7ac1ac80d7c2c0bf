"""The processes of one training, and the sums that they make with the same bits for any number of them."""
