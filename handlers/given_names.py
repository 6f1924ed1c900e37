"""Common given names: the first word of a person's name, where nothing else tells that it is one."""

_NAMES = """
Aaron Abigail Adam Adriana Adrian Agnes Ahmed Aisha Alan Albert Alejandro Alexander Alexandra Alex Alfred
Alice Alicia Alison Allan Allen Allison Amanda Amber Amy Ana Andrea Andrew Andy Angela Anita Ann Anna Anne
Annette Anthony Antonio Arlene Arnold Arthur Ashley Audrey Barbara Barry Beatrice Ben Benjamin Bernadette
Bernard Beth Betty Beverly Bob Bobby Bonnie Brad Bradley Brandon Brenda Brent Brett Brian Bridget Bruce
Bruno Bryan Byron Caleb Calvin Cameron Carl Carla Carlos Carmen Carol Caroline Carolyn Catherine Cathy
Cecilia Charlene Charles Charlie Charlotte Cheryl Chris Christian Christina Christine Christopher Cindy
Claire Clara Claude Claudia Clifford Colin Colleen Connie Connor Constance Craig Cynthia Daisy Dale Dan
Daniel Danielle Danny Darlene Darren Dave David Deborah Debra Denise Dennis Derek Diana Diane Dolores Don
Donald Donna Doris Dorothy Doug Douglas Duane Dylan Ed Eddie Edgar Edith Edmund Eduardo Edward Edwin Eileen
Elaine Eleanor Elena Elizabeth Ella Ellen Emily Emma Eric Erica Erik Erin Ernest Esther Ethan Eugene Eva
Evan Evelyn Fatima Felicia Felix Fernando Fiona Florence Frances Francesca Francis Francisco Fred Frederick
Gabriel Gabriela Gail Gary Gene Geoffrey George Gerald Geraldine Gerard Gilbert Gina Giovanni Gladys Glen
Glenn Gloria Gordon Greg Gregory Gwendolyn Hannah Hans Harold Harriet Harry Harvey Hassan Heather Hector
Heidi Helen Helena Henry Herbert Herman Howard Hugh Hugo Ian Ibrahim Ida Ingrid Irene Isaac Isabel Isabella
Ivan Jack Jackie Jacob Jacqueline Jake James Jamie Jan Jane Janet Janice Jared Jason Javier Jean Jeanne Jeff
Jeffery Jeffrey Jennifer Jenny Jeremy Jerome Jerry Jesse Jessica Jill Jim Jimmy Joan Joann Joanna Joanne Joe
Joel Johannes John Johnny Jon Jonathan Jordan Jorge Jose Joseph Joshua Joyce Juan Judith Judy Julia Julian
Julie June Justin Karen Karl Kate Katherine Kathleen Kathryn Kathy Katie Keith Kelly Ken Kenneth Kevin Kim
Kimberly Kirk Kristen Kristin Kurt Kyle Larry Laura Lauren Laurence Lawrence Leah Lee Leo Leon Leonard Leroy
Leslie Lewis Liam Lillian Linda Lindsay Lisa Lloyd Lois Lori Lorraine Louis Louise Lucas Lucia Lucy Luis
Luke Lydia Lynn Mabel Malcolm Manuel Marcia Marco Marcus Margaret Maria Marian Marie Marilyn Mario Marion
Marjorie Mark Marlene Marsha Marshall Martha Martin Marvin Mary Matthew Maureen Maurice Max Megan Melanie
Melissa Melvin Mercedes Meredith Michael Michele Michelle Miguel Mike Mildred Mindy Miriam Mitchell Mohamed
Mohammed Monica Morgan Muhammad Nadia Nancy Naomi Natalie Nathan Nathaniel Neil Nicholas Nick Nicole Nina
Noah Nora Norma Norman Oleg Olga Oliver Olivia Oscar Otto Pablo Pamela Patricia Patrick Paul Paula Pauline
Pedro Peggy Penelope Peter Phil Philip Phillip Phyllis Priya Rachel Ralph Ramon Randall Randy Raymond
Rebecca Regina Renee Rhonda Ricardo Richard Rick Ricky Rita Rob Robert Roberta Roberto Robin Rodney Roger
Roland Ron Ronald Ronnie Rosa Rosemary Ross Roy Russell Ruth Ryan Sabrina Sally Sam Samantha Samuel Sandra
Sandy Sara Sarah Scott Sean Sebastian Sergio Seth Shannon Sharon Shawn Sheila Shelley Sherri Sherry Sheryl
Shirley Sidney Simon Sofia Sonia Sophia Sophie Stacey Stacy Stanley Stefan Stella Stephanie Stephen Steve
Steven Stuart Susan Susanne Suzanne Sven Sylvia Tamara Tammy Tanya Tara Ted Teresa Terrence Terri Terry
Thelma Theodore Theresa Thomas Tim Timothy Tina Todd Tom Tomas Tommy Tony Tracey Tracy Travis Trevor Tyler
Ursula Valerie Vanessa Vera Vernon Veronica Vicki Victor Victoria Vincent Viola Virginia Vivian Vladimir
Wallace Walter Wanda Warren Wayne Wendy Wesley William Willie Wolfgang Yolanda Yusuf Yvonne Zachary Zoe
"""

GIVEN_NAMES = frozenset(_NAMES.split())
